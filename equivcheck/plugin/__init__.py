"""What the pytest plugin does once a suite is met: collect, capture, report."""
