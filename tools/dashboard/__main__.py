"""Write the dashboard anew."""

from tools.dashboard.grafana import main

main()
