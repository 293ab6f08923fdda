"""Device nodes on the workers of a Ray cluster. Needs the extra ``ray``.

Policy
------
**Workers** are actors, each with a session of its own and the models that it has loaded. The one who runs a workflow, the
driver, plans, runs what is not for a device, and writes files; what is for a device it hands to workers, a task at a time to each.

**Tasks** are plain data, :meth:`graphflow.execution.task.Task.to_json`; node functions never travel. A worker is used
for what it has in the same versions: graphflow, torch and diffusers, and the node pack of the task.

**Values** go by key where the worker sees the driver's store (it is asked to read a file there), else through Ray's object
store, as :mod:`graphflow.cluster.wire` packs them. The driver's store has every result before the run goes on, so nothing is
lost with a cluster.

**Model files** are found and fingerprinted by the worker. Where one is missing or another one, the worker is not used for
that task, and the run says so.

**Death** of a worker costs its task's time: another worker is started in its place and the task is tried again, a few
times at most.
"""
