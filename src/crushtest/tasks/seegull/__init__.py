"""SeeGULL: attributes that people annotated as stereotypes of nationalities and of people from states."""
