"""What must not happen, tried for some minutes: work lost, a traceback, a hang. `make torture` prints the counts.

One file for each kind of trial. All of them run the true code in processes of their own, which may be killed, filled
up and raced; what they leave is then judged by a process that nobody disturbs. Every trial follows from the seed, its
kind and its number, so that one can be repeated alone (but for the moment at which the system stops a process).

A kind is a module with `SHARE` of the time, and `trials(bench)`: a dict of functions by name, each of which is given a
`Trial` with an empty folder and a random generator, and says what went wrong by `Trial.fault`.
"""

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"  # sums do not depend on the machine, and a fork of one thread is whole
