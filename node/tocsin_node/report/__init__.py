"""`tocsin report`: what is read, plotted, written and printed of an incident afterwards."""
