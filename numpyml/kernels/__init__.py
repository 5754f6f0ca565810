"""Pure array functions: speed and precision live here, the plain formula stated above each. No Tensor, no Module."""
