"""Reactive sputtering: metal and gas told apart."""
