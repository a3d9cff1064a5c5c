"""JupyterLab's configuration for `make lab`: notebooks are cleaned as they are saved, as nbdev-clean would."""
from nbdev.clean import clean_jupyter

c = get_config()  # noqa: F821  (Jupyter defines it)
c.ContentsManager.pre_save_hook = lambda path, model, **kwargs: clean_jupyter(path, model)
