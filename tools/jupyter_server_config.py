"""JupyterLab's configuration for `make lab`: notebooks are cleaned as they are saved.

As nbdev-clean would; nbdev's own hook signs the notebook too, which fails on the first save of a
new one. The templates whose outputs belong to a run (their parameters cell has the tag
`no-outputs`) are saved without any.
"""

from nbdev.clean import clean_nb
from nbdev.config import get_config as nbdev_config

c = get_config()  # noqa: F821  (Jupyter defines it)


def drop_outputs(notebook):
    "Leave out what cells printed, where a cell says that it is not to be kept."
    if not any("no-outputs" in cell["metadata"].get("tags", []) for cell in notebook["cells"]):
        return
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []


def clean_before_saving(path, model, **kwargs):
    "Jupyter calls this with every file that it is about to write."
    if model["type"] != "notebook" or model["content"]["nbformat"] != 4:
        return
    keys = nbdev_config().allowed_cell_metadata_keys
    clean_nb(model["content"], allowed_cell_metadata_keys=keys)
    drop_outputs(model["content"])


c.ContentsManager.pre_save_hook = clean_before_saving
