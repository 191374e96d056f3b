"""What plugins share.  The harness never imports from here."""
