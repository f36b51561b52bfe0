"""Runs on disk and in a process: the run folder and its states, the report of a run at work, requests to stop, GPU
leases, the history of costs, and finished runs and sweeps as Python objects (`load`). It may import all packages up
to `models`."""
