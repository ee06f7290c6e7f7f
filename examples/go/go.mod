module kotak-neo-examples

go 1.19
