import os

# Before numpy is loaded: a board is solved with matrices of some sixty rows, for which OpenBLAS's threads cost more
# than they give (measured on two busy cores: 220 ms with them, 80 ms with one).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
