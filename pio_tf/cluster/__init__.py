"""One cluster, and everything that can be done to it from Python.

::

    from pio_tf import Cluster

    cluster = Cluster.load("pio-tf.hcl")
    run = cluster.train(["--total-executor-cores", "16"])
    print(run.id, run.seconds, run.model)

Programs import the public classes from :mod:`pio_tf`.
"""
