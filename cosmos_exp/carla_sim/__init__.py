"""The embedded CARLA server: what the unmodified `carla` client talks to where no CARLA build runs.

It is a simulator of geometry, not of physics.
"""
