"""Single faults put into the files where a silent one costs most: do the tests beside them notice?"""
