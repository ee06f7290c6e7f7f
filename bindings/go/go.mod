module kneo

go 1.19
