module kotak-neo-examples

go 1.19

require kneo v0.0.0

replace kneo => ../../bindings/go
