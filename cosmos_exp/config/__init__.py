"""The main config: its type and registration with Hydra (`schema`), composing it (`compose`), the rules that cross
groups (`validate`), and what it means for a run (`run_spec`). `hydra_internals` is the one module that knows Hydra
from the inside. The types of the groups stand beside the code that they configure. It may import all packages up to
`tracking`."""
