"""Measurements of FlowForge against its limits and its peers, as ratios within one run."""
