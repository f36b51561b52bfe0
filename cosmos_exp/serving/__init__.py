"""`cosmos-exp serve`: a server that computes the jobs of others on its models."""
