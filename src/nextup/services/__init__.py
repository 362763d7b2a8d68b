"""The use cases, named by verbs. They know ports, transforms and algorithms, and no backend."""
