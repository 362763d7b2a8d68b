"""MovieLens in a lakehouse: bronze, silver, gold, a model under MLflow, three ways to ask it."""
