"""HD map control frames: map layers and object boxes projected and drawn like the RDS-HQ renderer draws them. Imports
`common`, `sensors` and `scene`; nothing else of `rendering`."""
