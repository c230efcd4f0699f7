"""Run by a test, in a process of its own: a Ray cluster of two nodes on this machine, each of one core.

Prints its address; on the first line that it reads the second node is killed, on the second line, or at the end of the
input, all ends.
"""

import sys
import tempfile

import ray._private.utils
from ray.cluster_utils import Cluster

ray._private.utils.write_ray_address = lambda *_: None  # nobody else shall find this cluster
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}

with tempfile.TemporaryDirectory(prefix="lesion-", dir="/tmp", ignore_cleanup_errors=True) as folder:
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False, "temp_dir": folder})
    try:
        second = cluster.add_node(**NODE)
        print(cluster.address, flush=True)
        sys.stdin.readline()
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
        sys.stdin.readline()
    finally:
        cluster.shutdown()
