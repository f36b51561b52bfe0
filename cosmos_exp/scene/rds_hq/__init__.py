"""The RDS-HQ clip format of NVIDIA's Cosmos-Drive-Dreams: reader, writer, dataset configs, and clips as scenes.

May import `common`, `sensors` and the modules of `scene` itself.
"""
