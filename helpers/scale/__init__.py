"""What only notebooks 13 and 14 run: prepared inference, folder jobs, Ray Data, export, the benchmark."""
