"""How fast an export is: ``python -m benchmarks`` measures it, in child processes, on this machine."""
