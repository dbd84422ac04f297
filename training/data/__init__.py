"""Training data as values: records, the steps that clean them, the loss mask, the certificate, packing.

Pure: no Django, no files, no processes, no torch. Each file is one step and says what it drops and why.
"""
