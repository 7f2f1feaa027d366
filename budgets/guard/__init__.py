"""The guard: asked before a call whether there is money for it, told afterwards what it cost."""
