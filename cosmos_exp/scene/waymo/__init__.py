"""Waymo Open Dataset (perception, v2 tables) to RDS-HQ clips."""
