"""The subcommands of `cosmos-exp`: each module has its command line and a `main(arguments) -> exit status`."""
