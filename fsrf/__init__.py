__version__ = "0.1.0"

_WHERE = {"load": ("fsrf.training.predict", "load_predictor"),
          "Predictor": ("fsrf.training.predict", "Predictor"),
          "StreamingPredictor": ("fsrf.training.streaming", "StreamingPredictor"),
          "run": ("fsrf.runs.one_call", "run")}


def __getattr__(name):
    "`fsrf.run`, `load`, `Predictor`, .., imported when they are first asked for: torch is slow."
    if name not in _WHERE: raise AttributeError(f"module 'fsrf' has no attribute {name!r}")
    import importlib
    module, thing = _WHERE[name]
    return getattr(importlib.import_module(module), thing)


def __dir__():
    return [*globals(), *_WHERE]
