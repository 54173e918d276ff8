"""Manifests as Kubernetes reads them: text becomes documents, and documents become what the API server would store.

What belongs here: YAML as ``sigs.k8s.io/yaml`` understands it, variables, lists, and at which file and line an error
is. What does not: what is done with the objects.
"""
