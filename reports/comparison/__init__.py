"""Published beside measured: which rows are expected, the join, the verdict, and the one object that holds it all."""
