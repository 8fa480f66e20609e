"""What the packages share: arrays in arguments, batches of points, convex polygons, workers."""
