"""What every simulated instrument needs: errors, files, its process, its records."""
