"""JupyterLab's configuration for `make lab`: notebooks are cleaned as they are saved, as nbdev-
clean would.

nbdev's own hook signs the notebook too, which fails on the first save of a new one; this one only
cleans.
"""

from nbdev.clean import clean_nb
from nbdev.config import get_config as nbdev_config

c = get_config()  # noqa: F821  (Jupyter defines it)


def clean_before_saving(path, model, **kwargs):
    if model["type"] == "notebook" and model["content"]["nbformat"] == 4:
        clean_nb(
            model["content"], allowed_cell_metadata_keys=nbdev_config().allowed_cell_metadata_keys
        )


c.ContentsManager.pre_save_hook = clean_before_saving
