#!/bin/sh
# Installs cosmos-exp from this checkout into a virtual environment: deploy/install.sh FOLDER [OPTION ...]
#
# OPTION: of pip for the package, such as --editable. PYTHON: the interpreter, by default python3. EXTRAS: of the package, by
# default serve. PIP_ARGS: options of pip for all, such as an index with builds of torch for another version of CUDA.
set -eu
venv=${1:?usage: deploy/install.sh FOLDER [OPTION ...]}
shift
source=$(cd "$(dirname "$0")/.." && pwd)

"${PYTHON:-python3}" -m venv "$venv"
install() {
    # shellcheck disable=SC2086  # PIP_ARGS is a list of words
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check ${PIP_ARGS-} -c "$source/constraints.txt" "$@"
}
install torch
install "$@" "${source}[${EXTRAS:-serve}]"
