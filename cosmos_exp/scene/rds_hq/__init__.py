"""The RDS-HQ clip format of NVIDIA's Cosmos-Drive-Dreams: reading, writing, and clips as scenes."""
