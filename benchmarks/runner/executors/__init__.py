"""Where the groups of a plan are trained. All executors write the same folders; claims keep their cells apart.

here.py     threads of this process; or one process per GPU of this machine
ray.py      tasks of a Ray cluster, on this machine or many
slurm.py    jobs of a Slurm array
task.py     what one process is given to do, and what it reports
rounds.py   handing out again what another command held and let go of
"""
