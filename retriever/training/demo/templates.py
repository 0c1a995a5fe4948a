"""Question templates by field: other ways to ask what the demo's questions ask.

Training draws from the questions in the data and from these, so that the choice of
section does not hang on one wording. "{it}" stands for the thing in the picture.
"""

COUNTRY_NAMES = (
    "the country with this flag",
    "this country",
    "the place this flag belongs to",
    "the nation whose flag is shown",
    "the country in the picture",
    "the state that flies this flag",
    "the territory with this flag",
)

COUNTRY_TEMPLATES: dict[str, tuple[str, ...]] = {
    "Background": (
        "Give a short history of {it}.",
        "What happened in the past of {it}?",
        "How did {it} come to be what it is today?",
        "Summarise the historical background of {it}.",
    ),
    "Location": (
        "On which continent is {it}?",
        "Where in the world can I find {it}?",
        "Which sea or ocean lies next to {it}?",
        "Between which countries does {it} lie?",
    ),
    "Total area": (
        "How big is {it}?",
        "How many square kilometres does {it} cover?",
        "What is the size of {it}?",
        "What is the surface area of {it}?",
    ),
    "Area comparison": (
        "Which US state is about the size of {it}?",
        "How does the size of {it} compare with a US state?",
        "What is about as large as {it}?",
    ),
    "Border countries": (
        "Who are the neighbours of {it}?",
        "Which states share a land border with {it}?",
        "What countries are next to {it}?",
        "How long are the land borders of {it}?",
    ),
    "Coastline": (
        "How many kilometres of coast does {it} have?",
        "Does {it} have a coastline?",
        "What is the length of the coast of {it}?",
        "Is {it} landlocked?",
    ),
    "Climate": (
        "How is the weather in {it}?",
        "Is it hot or cold in {it}?",
        "Does {it} have a tropical climate?",
        "Describe the climate of {it}.",
    ),
    "Terrain": (
        "What does the landscape of {it} look like?",
        "Is {it} flat or mountainous?",
        "What landforms are typical of {it}?",
    ),
    "Highest point": (
        "Which is the highest mountain of {it}?",
        "What is the highest elevation in {it}?",
        "How high is the tallest peak in {it}?",
        "Name the highest peak of {it}.",
    ),
    "Natural hazards": (
        "Which natural disasters threaten {it}?",
        "Are there earthquakes, floods or hurricanes in {it}?",
        "Is there volcanic activity in {it}?",
        "What natural dangers does {it} face?",
    ),
    "Natural resources": (
        "Which minerals does {it} have?",
        "What raw materials are found in {it}?",
        "Is there oil, gas or gold in {it}?",
        "What are the natural riches of {it}?",
    ),
    "Population": (
        "How many inhabitants does {it} have?",
        "What is the number of people in {it}?",
        "How populous is {it}?",
        "How big is the population of {it}?",
    ),
    "Ethnic groups": (
        "What peoples live in {it}?",
        "What is the ethnic make-up of {it}?",
        "Which ethnicities are found in {it}?",
        "What are people from {it} called?",
    ),
    "Languages": (
        "What language do people speak in {it}?",
        "Which tongue is official in {it}?",
        "What do they speak in {it}?",
        "What are the languages of {it}?",
    ),
    "Religions": (
        "What do people believe in {it}?",
        "Which faith do most people follow in {it}?",
        "What share of {it} is Christian, Muslim or Buddhist?",
        "What religion is practised in {it}?",
    ),
    "Life expectancy at birth": (
        "How long do people live in {it}?",
        "How old do people get in {it} on average?",
        "What is the median age in {it}?",
        "How many children does a woman have in {it}?",
    ),
    "Major urban areas": (
        "What are the largest cities of {it}?",
        "Which big cities are in {it}?",
        "How many people live in the biggest city of {it}?",
        "What share of people live in cities in {it}?",
    ),
    "Environmental issues": (
        "Is there pollution or deforestation in {it}?",
        "What ecological problems does {it} have?",
        "What threatens the environment of {it}?",
        "Which environmental issues exist in {it}?",
    ),
    "Name etymology": (
        "Why is {it} called that?",
        "What does the name of {it} mean?",
        "How did {it} get its name?",
        "What is the etymology of the name of {it}?",
    ),
    "Capital": (
        "Name the capital of {it}.",
        "What is the seat of government of {it}?",
        "What is the capital city of {it}?",
        "Where is the capital of {it}?",
        "What is the official name of {it}?",
    ),
    "Former names": (
        "What was {it} called before?",
        "What is an older name of {it}?",
        "Under which name was {it} known in the past?",
    ),
    "Independence": (
        "When was {it} founded?",
        "From whom did {it} become independent?",
        "In which year did {it} gain independence?",
        "What is the date of independence of {it}?",
    ),
    "National holiday": (
        "When is the national day of {it}?",
        "What do people celebrate on the national holiday of {it}?",
        "Which day is the national holiday in {it}?",
    ),
    "Legal system": (
        "What kind of law is used in {it}?",
        "Does {it} have common law or civil law?",
        "What is the legal system of {it} based on?",
    ),
    "Government type": (
        "How is {it} governed?",
        "What form of government does {it} have?",
        "Is {it} a kingdom, a republic or a dependency?",
        "What is the political system of {it}?",
    ),
    "Chief of state": (
        "Who is the president, king or queen of {it}?",
        "Who rules {it}?",
        "Who is the leader of {it}?",
        "Who is the prime minister or head of government of {it}?",
        "What is the parliament of {it} called?",
    ),
    "Flag": (
        "Why does this flag look like this?",
        "What do the stripes and stars on this flag stand for?",
        "Explain the symbolism of this flag.",
        "When was this flag adopted?",
        "What is the history of this flag?",
        "What does the emblem on this flag represent?",
    ),
    "National symbols": (
        "Which animal or plant is the symbol of {it}?",
        "What are the national colours of {it}?",
        "What stands for {it} as its national emblem?",
        "Which symbols represent {it}?",
    ),
    "National anthem": (
        "What song is the anthem of {it}?",
        "What is the name of the anthem of {it}?",
        "Which hymn do they sing in {it}?",
    ),
    "Economy overview": (
        "How does {it} earn its money?",
        "Is {it} rich or poor?",
        "Describe the economy of {it}.",
        "How is the economic situation of {it}?",
    ),
    "Agricultural products": (
        "What do farmers grow in {it}?",
        "Which crops and livestock come from {it}?",
        "What food is produced in {it}?",
    ),
    "Industries": (
        "Which industries are important in {it}?",
        "What is manufactured in {it}?",
        "What do factories make in {it}?",
    ),
    "Export partners": (
        "To which countries does {it} export?",
        "Who buys the goods of {it}?",
        "Which countries are the biggest customers of {it}?",
    ),
    "Export commodities": (
        "What goods does {it} sell abroad?",
        "Which products are exported by {it}?",
        "What are the exports of {it}?",
    ),
    "Import partners": (
        "Who are the main import partners of {it}?",
        "Where do the imports of {it} come from?",
        "What does {it} import?",
        "Which countries sell goods to {it}?",
    ),
    "Currency": (
        "What do you pay with in {it}?",
        "What is the money of {it} called?",
        "Which money do I need in {it}?",
        "What is the exchange rate of the currency of {it}?",
    ),
    "Internet country code": (
        "Which top-level domain does {it} have?",
        "What is the internet domain of {it}?",
        "With what do web addresses of {it} end?",
        "Which ports and broadcasters does {it} have?",
    ),
    "Military forces": (
        "What armed forces does {it} have?",
        "Does {it} have an army and a navy?",
        "Who defends {it}?",
        "At what age can one serve in the military of {it}?",
    ),
}

THING_NAMES = ("this", "the thing in the picture", "what is shown", "this object")
ANIMAL_NAMES = ("this animal", "this", "the creature in the picture", "this species")

THING_TEMPLATES: dict[str, tuple[str, ...]] = {
    "w_kind": (
        "What is shown here?",
        "What can you tell me about this?",
        "Describe what this is.",
        "Explain what is in the picture.",
        "What am I looking at?",
        "Can you define {it}?",
    ),
    "w_group": (
        "What is the scientific classification of {it}?",
        "To which group of living things does {it} belong?",
        "What family or genus is {it} in?",
    ),
    "w_used": (
        "What is {it} for?",
        "What do people do with {it}?",
        "How do people use {it}?",
        "What is the purpose of {it}?",
    ),
    "w_found": (
        "In which regions does {it} occur?",
        "Where does one find {it}?",
        "What is the habitat of {it}?",
    ),
    "w_measure": (
        "How large is {it}?",
        "How many kinds of {it} are there?",
        "How old is {it}?",
        "What is the size or weight of {it}?",
    ),
    "w_invented": (
        "Who came up with {it}?",
        "When was {it} first made?",
        "Who built {it}?",
        "What is the history of {it}?",
    ),
    "w_origin": (
        "Where does {it} come from?",
        "What is the origin of {it}?",
        "In which part of the world did {it} begin?",
    ),
    "w_native": (
        "What is the native range of {it}?",
        "Which part of the world is home to {it}?",
        "On which continent does {it} live in the wild?",
    ),
    "w_made": (
        "What is {it} made out of?",
        "What are the ingredients of {it}?",
        "What does {it} consist of?",
    ),
    "w_diet": (
        "What does {it} feed on?",
        "What is the food of {it}?",
        "What does {it} like to eat?",
    ),
    "w_aka": (
        "By what other names is {it} known?",
        "What else is {it} called?",
        "What is the name of {it}?",
    ),
}
