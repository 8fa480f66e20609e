"""Pictures."""
from splinecam.plotting.partition import plot_partition
