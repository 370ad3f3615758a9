"""The policies that ship with crushtest, one YAML file each."""
