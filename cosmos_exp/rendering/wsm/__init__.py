"""World Scenario maps: a scene's map and objects drawn with depth and smooth edges, as control of Cosmos-Transfer2.5
and Cosmos3. Imports `common`, `sensors`, `scene` and, of `rendering`, the compiled kernels' ground and `clips`."""
