"""Code that several plugins share.  The harness never imports from here."""
