"""What a partition, or a model, says: measures of regions, edges, maps, boundaries, complexity."""
