"""Many runs: the sweep's folder as a queue, workers and their supervisors, launchers on this machine and on Slurm,
plans, searches, and the Hydra job that each cell is. It may import all packages up to `pipeline`."""
