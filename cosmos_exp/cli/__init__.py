"""The command `cosmos-exp`: `main` looks at the first argument, `commands/` has a module per subcommand, `hydra_app`
runs a Hydra application so that a mistake of the user ends in one message. It may import every other package, and
imports nothing heavy before it knows what is asked."""
