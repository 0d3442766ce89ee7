"""Physics-informed Bayesian optimisation of growth: models of composition against flows, and what a next run is worth."""
