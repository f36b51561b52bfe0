"""The page, the still and the video that show a sweep's cells side by side, from their run folders alone. It may import
what `tracking` may."""
