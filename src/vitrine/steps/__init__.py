"""What each pipeline step does, on folders: one library call, and a note of what was decided.

Components are these functions with typed artifacts around them; calling them one after the other in a process is the
same pipeline without Kubeflow.
"""
